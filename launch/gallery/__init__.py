"""A web page that shows runs and uses their trained models; see `page`."""
