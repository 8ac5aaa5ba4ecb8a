"""DIMSE (PS3.7): command sets, and the exchange of messages on one association. It never sees a data set."""
