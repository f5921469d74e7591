variable "environment" {
  description = "Environment that they are for, as chefcito render --env has it"
  type        = string
}

variable "account_id" {
  description = "Account of AWS that the tasks are in"
  type        = string
}

variable "secret_arns" {
  description = "Parameters that they may read"
  type        = list(string)
}

variable "log_days" {
  description = "For how many days logs are kept"
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.log_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365 days."
  }
}
