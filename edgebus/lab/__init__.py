"""The fault laboratory: scenarios on a stage of real servers, and a judge that believes recorded logs only."""
