"""The kiosk: a web application on this machine's own address, and the page a patron sees."""
