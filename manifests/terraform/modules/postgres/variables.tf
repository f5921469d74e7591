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
  description = "Security groups of those that may reach it, by what they are"
  type        = map(string)

  validation {
    condition     = length(var.client_security_group_ids) > 0
    error_message = "Somebody has to reach it: give the security group of the cluster's nodes."
  }
}

variable "password" {
  description = "Password of the user postgres"
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "password_version" {
  description = "Raised when the password is another one"
  type        = number
}

variable "engine_version" {
  description = "Version of PostgreSQL: a major one, of which AWS chooses the minor, or both"
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^(1[5-9]|[2-9][0-9])(\\.[0-9]+)?$", var.engine_version))
    error_message = "It takes PostgreSQL 15 or newer, as 17 or 17.6."
  }
}

variable "instance_class" {
  description = "Class of the instance"
  type        = string

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "A class is like db.t4g.medium."
  }
}

variable "storage_gb" {
  description = "Storage in GB at first"
  type        = number
  default     = 20

  validation {
    condition     = var.storage_gb >= 20
    error_message = "Storage of type gp3 has 20 GB at least."
  }
}

variable "storage_gb_max" {
  description = "Storage in GB up to which it grows by itself"
  type        = number
  default     = 200

  validation {
    condition     = var.storage_gb_max > var.storage_gb
    error_message = "It should be more than there is at first."
  }
}

variable "is_replicated" {
  description = "Whether a second instance in another zone takes over when the first fails"
  type        = bool
}

variable "is_protected" {
  description = "Whether it can't be deleted, and leaves a last copy when it is after all"
  type        = bool
}

variable "backup_days" {
  description = "For how many days copies are kept, from each moment of which it can be restored"
  type        = number

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "Copies are kept for 1 to 35 days."
  }
}
