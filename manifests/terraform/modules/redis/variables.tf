variable "name" {
  description = "What it is called, and what belongs to it begins with"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,39}$", var.name)) && !strcontains(var.name, "--") && !endswith(var.name, "-")
    error_message = "A name has up to 40 lower-case letters, digits and single hyphens, and begins with a letter."
  }
}

variable "vpc_id" {
  description = "VPC that it is in"
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets that it may be in, in two zones at least"
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "It takes two subnets at least, in two zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups of those that may reach it, by what they are; nothing else protects it, since it asks for no password"
  type        = map(string)

  validation {
    condition     = length(var.client_security_group_ids) > 0
    error_message = "Somebody has to reach it: give the security group of the cluster's nodes."
  }
}

variable "engine_version" {
  description = "Version of Redis"
  type        = string
  default     = "7.1"

  validation {
    condition     = can(regex("^7\\.[0-9]+$", var.engine_version))
    error_message = "It takes Redis 7, as 7.1."
  }
}

variable "node_type" {
  description = "Type of its nodes"
  type        = string

  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "A type is like cache.t4g.small."
  }
}

variable "is_replicated" {
  description = "Whether a second node in another zone takes over when the first fails"
  type        = bool
}
