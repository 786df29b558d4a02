"""Code generated from `proto/tfplugin6`: Terraform's plugin protocol."""
