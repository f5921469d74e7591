variable "region" {
  description = "Region of AWS that all of it is in"
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region is like eu-central-1."
  }
}

variable "account_id" {
  description = "Account of AWS that it belongs to: in another one nothing is done"
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has twelve digits."
  }
}

variable "vpc_id" {
  description = "VPC that the cluster is in"
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "A VPC is like vpc-0a1b2c3d."
  }
}

variable "subnet_ids" {
  description = "Private subnets for the databases, in two zones at least"
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2 && alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "It takes two subnets at least, each like subnet-0a1b2c3d."
  }
}

variable "client_security_group_ids" {
  description = "Security groups of those that may reach the databases, by what they are: { nodes = \"sg-…\" }; nothing else protects Redis"
  type        = map(string)

  validation {
    condition = length(var.client_security_group_ids) > 0 && alltrue([
      for id in values(var.client_security_group_ids) : startswith(id, "sg-")
    ])
    error_message = "It takes one group at least, each like sg-0a1b2c3d."
  }
}

variable "kubeconfig" {
  description = "File that says how the cluster is reached"
  type        = string
  default     = "~/.kube/config"
}

variable "context" {
  description = "Context of the cluster in that file; the current one is never taken by chance"
  type        = string

  validation {
    condition     = var.context != ""
    error_message = "Name a context: see kubectl config get-contexts."
  }
}

variable "secrets_version" {
  description = "Raise it to make all secrets anew: manifests/README.md says what has to follow at once"
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "It is a whole number from 1 on."
  }
}

variable "postgres_instance_class" {
  description = "Class of PostgreSQL's instance"
  type        = string
  default     = "db.t4g.medium"
}

variable "rds_certificates_file" {
  description = "File with the certificates of RDS in the region, which no browser knows: https://truststore.pki.rds.amazonaws.com/REGION/REGION-bundle.pem"
  type        = string
  default     = "rds.pem"

  validation {
    condition     = fileexists(pathexpand(var.rds_certificates_file))
    error_message = "There is no such file: curl -o rds.pem https://truststore.pki.rds.amazonaws.com/REGION/REGION-bundle.pem"
  }
}

variable "redis_node_type" {
  description = "Type of Redis's nodes"
  type        = string
  default     = "cache.t4g.micro"
}

variable "has_ecs" {
  description = "Whether there are tasks of Amazon ECS, too, which need a role and a place for their logs"
  type        = bool
  default     = false
}
