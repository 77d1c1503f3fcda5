"""The emulator's page for a browser: three files without a build, and the application that serves them."""
