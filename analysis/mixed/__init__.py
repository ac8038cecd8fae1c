"""Linear and generalized linear mixed models, at the scale of neurons."""
