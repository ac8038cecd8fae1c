"""Bootstrap, permutation, robust covariances, profiles and influence of clusters."""
