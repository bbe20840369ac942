"""A page to look at runs and play with what they trained; see `launch.gallery.page`."""
