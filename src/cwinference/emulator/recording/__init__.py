"""Record and replay: responses of the API and of the models, as lines of JSON in a file."""
