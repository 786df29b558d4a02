terraform import outlay_gate.opus organizations/acme/gates/opus
