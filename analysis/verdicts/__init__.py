"""From animals to an arm: pooling, differences, negative controls and the verdict."""
