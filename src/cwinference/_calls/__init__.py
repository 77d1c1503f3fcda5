"""How a call is made: declaration, driver, attempts, session."""
