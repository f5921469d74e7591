# What comes next: the same as production, smaller, and it may be thrown away.
terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "2.38.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "3.7.2"
    }
  }

  # Where the state is kept is said when it is looked for, as it is another place for each who uses this:
  #
  #     terraform init -backend-config=backend.hcl
  #
  # See backend.hcl.example.
  backend "s3" {
    key          = "chefcito/staging.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      "app.kubernetes.io/part-of" = "chefcito"
      "environment"               = "staging"
    }
  }
}

provider "kubernetes" {
  config_path    = pathexpand(var.kubeconfig)
  config_context = var.context
}

locals {
  name = "chefcito-staging"
}

module "postgres" {
  source = "../modules/postgres"

  name                      = local.name
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  client_security_group_ids = var.client_security_group_ids
  password                  = module.secrets.postgres_password
  password_version          = var.secrets_version
  instance_class            = var.postgres_instance_class
  storage_gb                = 20
  storage_gb_max            = 100
  is_replicated             = false
  is_protected              = false
  backup_days               = 3
}

module "redis" {
  source = "../modules/redis"

  name                      = local.name
  vpc_id                    = var.vpc_id
  subnet_ids                = var.subnet_ids
  client_security_group_ids = var.client_security_group_ids
  node_type                 = var.redis_node_type
  is_replicated             = false
}

module "secrets" {
  source = "../modules/secrets"

  prefix = "/chefcito/staging/"
  # As manifests/kubernetes/overlays/staging has it.
  namespace            = "chefcito-staging"
  seed_version         = var.secrets_version
  postgres_address     = module.postgres.address
  redis_address        = module.redis.address
  trusted_certificates = file(pathexpand(var.rds_certificates_file))
}

module "ecs" {
  source = "../modules/ecs"
  count  = var.has_ecs ? 1 : 0

  environment = "staging"
  account_id  = var.account_id
  secret_arns = module.secrets.arns
}
