"""How requests arrive and responses leave: gRPC, gRPC-Web, Connect and REST. They know nothing of resources."""
