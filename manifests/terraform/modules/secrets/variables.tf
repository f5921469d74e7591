variable "prefix" {
  description = "What the names of all parameters begin with"
  type        = string

  validation {
    condition     = can(regex("^(/[a-z0-9-]+)+/$", var.prefix))
    error_message = "A prefix is like /chefcito/production/."
  }
}

variable "namespace" {
  description = "Namespace of the environment, as its overlay has it"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "A namespace has up to 63 lower-case letters, digits and hyphens."
  }
}

variable "seed_version" {
  description = "Raise it to make a new seed, and with it all secrets anew"
  type        = number

  validation {
    condition     = var.seed_version >= 1 && floor(var.seed_version) == var.seed_version
    error_message = "It is a whole number from 1 on."
  }
}

variable "postgres_address" {
  description = "Host and port of PostgreSQL"
  type        = string
}

variable "redis_address" {
  description = "Host and port of Redis"
  type        = string
}

variable "trusted_certificates" {
  description = "Certificates, in PEM, of the authorities that are trusted beside the public ones: those of RDS"
  type        = string

  validation {
    condition     = strcontains(var.trusted_certificates, "-----BEGIN CERTIFICATE-----")
    error_message = "Certificates in PEM begin with -----BEGIN CERTIFICATE-----."
  }

  validation {
    condition     = length(var.trusted_certificates) <= 8192
    error_message = "A parameter has 8 KB at most: take the bundle of the region, not of all regions."
  }
}
