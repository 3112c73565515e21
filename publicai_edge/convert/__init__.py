"""Models from the form they are published in to the form a kiosk runs."""
