# consul-template -config consul-template.hcl, with CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN as for consul itself.
# The token needs the rights of deploy/consul/application.hcl.

# The defaults wait for calm for 5 s and more: a change of leader is worth a restart at once.
wait {
  min = "0s"
  max = "0s"
}

consul {
  retry {
    attempts    = 0
    max_backoff = "1s"
  }
}

template {
  source      = "leaders.env.ctmpl"
  destination = "leaders.env"
}

template {
  source      = "leaders.json.ctmpl"
  destination = "leaders.json"
}

template {
  source      = "haproxy.cfg.ctmpl"
  destination = "haproxy.cfg"
  # A reload that keeps the old process's connections would keep clients on the old leader: see README.md.
  command = "systemctl reload haproxy || true"
}
