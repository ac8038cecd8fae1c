"""Power of planned experiments: how many animals, sessions and neurons a drug-by-epoch effect needs."""
