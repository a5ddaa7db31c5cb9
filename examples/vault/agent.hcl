# Vault Agent: gets the sidecar's certificate from Vault's PKI and renews it before it ends.
#   vault agent -config=agent.hcl
vault {
  address = "https://vault.corp.example:8200"
}

auto_auth {
  method "kubernetes" {
    config = { role = "payments" }
  }
}

template_config {
  static_secret_render_interval = "5m"
}

# One answer of Vault for certificate and key. The destination is where pkiCert looks for what it has already, so it must hold
# both; Postern reads the two files that are written beside it. While they do not match, the pair before serves on.
template {
  destination = "identity/vault.pem"
  perms       = "0600"
  contents    = <<-EOT
    {{- with pkiCert "pki/issue/payments" "uri_sans=spiffe://corp.example/payments" "ttl=1h" -}}
    {{ .Cert }}{{ .CA }}{{ .Key }}
    {{- .Key | writeToFile "identity/svid-key.pem" "" "" "0600" }}
    {{- .Cert | writeToFile "identity/svid.pem" "" "" "0644" }}
    {{- .CA | writeToFile "identity/svid.pem" "" "" "0644" "append" }}
    {{- end -}}
  EOT
}

template {
  destination = "identity/roots.pem"
  perms       = "0644"
  contents    = <<-EOT
    {{- with secret "pki/cert/ca_chain" -}}
    {{ .Data.certificate }}
    {{- end -}}
  EOT
}
