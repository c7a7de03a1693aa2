# Control workers, and engineers with the command line. "demo" is the fleet's name.
#   consul acl policy create -name redis-fleet-worker -rules @deploy/consul/worker.hcl
key_prefix "redis-fleet/demo/" {
  policy = "write"
}
