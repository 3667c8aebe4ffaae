"""What the project is measured against, each as people write it."""
