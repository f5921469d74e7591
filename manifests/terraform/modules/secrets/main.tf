# All secrets of an environment, none of which is in the state or in a plan. They derive from one seed, which is made once and
# lies in the Parameter Store: however often this is applied, and wherever it was broken off, they fit each other.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.37"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.7"
    }
  }
}

# Another one each time; it counts only when a seed is written.
ephemeral "random_password" "seed" {
  length  = 64
  special = false
}

resource "aws_ssm_parameter" "seed" {
  name             = "${var.prefix}seed"
  description      = "What all secrets below ${var.prefix} derive from"
  type             = "SecureString"
  value_wo         = ephemeral.random_password.seed.result
  value_wo_version = var.seed_version
}

# The seed that counts.
ephemeral "aws_ssm_parameter" "seed" {
  arn = aws_ssm_parameter.seed.arn
}

locals {
  # A role in PostgreSQL for each, which `bootstrap roles` makes: all services, also one that does not run here.
  services = ["gateway", "orders", "kitchen", "inventory", "market", "market-sim", "board"]

  seed = ephemeral.aws_ssm_parameter.seed.value
  passwords = {
    for service in local.services : service => sha256("password of ${service}, ${local.seed}")
  }
  postgres_password = sha256("password of postgres, ${local.seed}")

  # The names that the manifests of all environments have for them, and `bootstrap env` prints. TLS is spoken to both, and who
  # answers is verified.
  secrets = merge(
    {
      for service in local.services : "${service}-database-url" =>
      "postgres://${service}:${local.passwords[service]}@${var.postgres_address}/chefcito?sslmode=require"
    },
    {
      "admin-database-url" = "postgres://postgres:${local.postgres_password}@${var.postgres_address}/postgres?sslmode=require"
      "admin-key"          = "cfk_local_${sha256("admin key, ${local.seed}")}"
      "key-pepper"         = sha256("key pepper, ${local.seed}")
      "redis-url"          = "rediss://${var.redis_address}"
      "role-passwords"     = jsonencode(local.passwords)
      "service-token"      = sha256("service token, ${local.seed}")
    }
  )

  # The same names once more: they go into the state, and nothing that is beside a secret may.
  names = toset(concat(
    [for service in local.services : "${service}-database-url"],
    ["admin-database-url", "admin-key", "key-pepper", "redis-url", "role-passwords", "service-token"]
  ))
}

# For those who read secrets one by one: tasks of ECS, and people.
resource "aws_ssm_parameter" "these" {
  for_each = local.names

  name             = "${var.prefix}${each.key}"
  description      = "A secret of Chefcito"
  type             = "SecureString"
  value_wo         = local.secrets[each.key]
  value_wo_version = var.seed_version
}

# No secret, but found where these are. The tier depends on how long it is.
resource "aws_ssm_parameter" "trusted_certificates" {
  name        = "${var.prefix}trusted-certificates"
  description = "Certificates of the authorities that Chefcito trusts beside the public ones"
  type        = "String"
  tier        = "Intelligent-Tiering"
  value       = var.trusted_certificates
}
