"""The demo world: scenes, their captions, questions and true words."""
