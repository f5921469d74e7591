output "postgres_password" {
  description = "Password of PostgreSQL's user postgres"
  value       = local.postgres_password
  sensitive   = true
  ephemeral   = true
}

output "names" {
  description = "The names of all secrets"
  value       = local.names
}

output "arns" {
  description = "The parameters that have the secrets, but not the seed"
  value       = [for parameter in aws_ssm_parameter.these : parameter.arn]
}
