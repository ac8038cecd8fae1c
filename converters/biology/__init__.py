"""What is known of single neurons beyond their activity: cell type, and identity across sessions."""
