"""What runs Zhike: database, web application, command line; nothing outside core imports it."""
