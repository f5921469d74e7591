# PostgreSQL as Amazon RDS has it: in private subnets, encrypted where it lies, with copies of each day.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}

locals {
  major = split(".", var.engine_version)[0]
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Where PostgreSQL of ${var.name} may be"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-postgres"
  description = "PostgreSQL of ${var.name}: reached by its services alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value
  description                  = "Services of ${var.name} (${each.key})"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres${local.major}"
  family      = "postgres${local.major}"
  description = "PostgreSQL of ${var.name}"

  # Nobody speaks to it but in TLS. Who may reach it at all is said by the security group.
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  # A statement that takes longer than any of ours should is worth a line.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class

  db_name  = "chefcito"
  username = "postgres"
  # Sent, and kept nowhere: neither in the state nor in a plan.
  password_wo         = var.password
  password_wo_version = var.password_version

  allocated_storage     = var.storage_gb
  max_allocated_storage = var.storage_gb_max
  storage_type          = "gp3"
  storage_encrypted     = true

  multi_az               = var.is_replicated
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  publicly_accessible    = false

  backup_retention_period   = var.backup_days
  copy_tags_to_snapshot     = true
  deletion_protection       = var.is_protected
  skip_final_snapshot       = !var.is_protected
  final_snapshot_identifier = var.is_protected ? "${var.name}-final" : null

  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
}
