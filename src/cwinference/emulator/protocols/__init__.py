"""How requests arrive and responses leave: gRPC, gRPC-Web, Connect and REST. Nothing here knows any resource."""
