"""The fault laboratory: real servers, one fault at a time, and a checker that believes recorded logs only."""
