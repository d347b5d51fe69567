"""What several pages use, and what can be tested without a page."""
