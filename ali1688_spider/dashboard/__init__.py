"""The page on which a person sees what goes on, live; nothing of it needs a build step."""
