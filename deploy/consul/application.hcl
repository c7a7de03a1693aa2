# Applications: they read who leads, and nothing else. "demo" is the fleet's name.
#   consul acl policy create -name redis-fleet-application -rules @deploy/consul/application.hcl
key_prefix "redis-fleet/demo/databases/" {
  policy = "read"
}

# For leader.<database>.service.consul.
service_prefix "" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}
