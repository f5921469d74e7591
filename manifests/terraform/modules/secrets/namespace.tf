# The place of the environment in a cluster that is there, with its Secret and the certificates that are trusted in it: all that
# `chefcito deploy` expects to find. All that is put into it is in manifests/kubernetes, and `chefcito deploy` applies it; to a
# namespace that is not of its own making it changes nothing, so that what the manifests say of it is said here, too.
resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = var.namespace
    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
      "pod-security.kubernetes.io/audit"   = "restricted"
      "pod-security.kubernetes.io/warn"    = "restricted"
    }
  }

  lifecycle {
    # Others write there, too: whoever runs the cluster.
    ignore_changes = [metadata[0].annotations]
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
