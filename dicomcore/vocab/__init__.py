"""The vocabulary of the standard as values: tags, VRs, UIDs, transfer syntaxes, SOP classes, status codes."""
