"""An image: opened safely, turned upright, and where visual tokens and regions lie on it."""
