# The place of the environment in a cluster that is there, with its Secret and the certificates that are trusted in it: all that
# `chefcito deploy` expects to find. What else there is said of the namespace, and all that is put into it, is in
# manifests/kubernetes, and `chefcito deploy` applies it.
resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = var.namespace
  }

  lifecycle {
    # They belong to the manifests.
    ignore_changes = [metadata[0].labels, metadata[0].annotations]
  }
}

resource "kubernetes_secret_v1" "secrets" {
  metadata {
    name      = "secrets"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  type = "Opaque"
  # Sent, and kept nowhere else: neither in the state nor in a plan.
  data_wo          = local.secrets
  data_wo_revision = var.seed_version
}

resource "kubernetes_config_map_v1" "trusted_certificates" {
  metadata {
    name      = "trusted-certificates"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }

  data = {
    "trusted-certificates" = var.trusted_certificates
  }
}
