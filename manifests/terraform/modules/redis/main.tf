# Redis as Amazon ElastiCache has it. It carries events and keeps nothing: what it loses the services send again, so there are no
# copies of it.
#
# It asks for no password, so the network alone protects it: whatever has a security group of `client_security_group_ids` can read
# and write all events. `auth_token`, and the passwords of an `aws_elasticache_user`, would be in the state; `auth_token_wo` is only
# in versions of the provider that are newer than the least one here; and the services don't sign in by IAM.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}

resource "aws_elasticache_subnet_group" "this" {
  name        = var.name
  description = "Where Redis of ${var.name} may be"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis of ${var.name}: reached by its services alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value
  description                  = "Services of ${var.name} (${each.key})"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_parameter_group" "this" {
  name        = "${var.name}-redis7"
  family      = "redis7"
  description = "Redis of ${var.name}"

  # A full Redis says so, and the services wait; one that drops keys would forget who reads what.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Redis of ${var.name}"
  engine               = "redis"
  engine_version       = var.engine_version
  node_type            = var.node_type
  parameter_group_name = aws_elasticache_parameter_group.this.name
  port                 = 6379

  num_cache_clusters         = var.is_replicated ? 2 : 1
  automatic_failover_enabled = var.is_replicated
  multi_az_enabled           = var.is_replicated

  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  at_rest_encryption_enabled = true
  # Nobody speaks to it but in TLS; a group that was made without takes a step between, with the mode `preferred`.
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"

  auto_minor_version_upgrade = true
  snapshot_retention_limit   = 0
}
