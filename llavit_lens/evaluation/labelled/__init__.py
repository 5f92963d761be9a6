"""Images whose objects are known, from COCO or from users."""
