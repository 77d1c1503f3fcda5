"""The commands of gateways, deployments, claims and hot-loads: a table of kinds, and files for the verbs."""
