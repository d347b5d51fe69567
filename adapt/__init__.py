"""A package of Lexigraft."""
