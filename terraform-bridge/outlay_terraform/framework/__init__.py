"""What any provider needs: values, schemas, plans and diagnostics, without a wire and without Outlay."""
