# Host agents: they read the records, report about their host, renew its lease, keep the catalog, and back up. "demo" is the
# fleet's name. A policy of its own for each host, with its name instead of the prefixes hosts/, memory/ and leases/, is
# tighter.
#   consul acl policy create -name redis-fleet-agent -rules @deploy/consul/agent.hcl
key_prefix "redis-fleet/demo/" {
  policy = "read"
}

key_prefix "redis-fleet/demo/hosts/" {
  policy = "write"
}

# How the memory of its host went.
key_prefix "redis-fleet/demo/memory/" {
  policy = "write"
}

key_prefix "redis-fleet/demo/leases/" {
  policy = "write"
}

# Of the databases that it backs up.
key_prefix "redis-fleet/demo/backups/" {
  policy = "write"
}

key_prefix "redis-fleet/demo/permits/" {
  policy = "write"
}

# Each database is a service of its own name. Where other services share this Consul, name the databases one by one:
#   service "sessions-00" { policy = "write" }
service_prefix "" {
  policy = "write"
}

node_prefix "" {
  policy = "read"
}
