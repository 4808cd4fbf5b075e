"""The paper's ablations, two reference designs, and learning curves."""
