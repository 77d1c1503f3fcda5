"""What is known of the wire: the table of methods, protobuf's JSON, error details."""
