"""What is common to all transports: the table of the API's methods, protobuf's JSON form, error details."""
