"""The pages, one script each; `app/main.py` says in which order."""
