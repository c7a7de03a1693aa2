# Control workers, and engineers with the command line. "demo" is the fleet's name.
#   consul acl policy create -name redis-fleet-worker -rules @deploy/consul/worker.hcl
key_prefix "redis-fleet/demo/" {
  policy = "write"
}

# A promotion corrects who leads in the catalog, as the agent of a dead host cannot.
service_prefix "" {
  policy = "write"
}

node_prefix "" {
  policy = "read"
}
