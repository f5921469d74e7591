# What the tasks that `chefcito render --target ecs` describes find: their role, and the group that their logs go to, by the names
# that it gives them. Which services ECS has of them is not said here.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100"
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/chefcito/${var.environment}"
  retention_in_days = var.log_days
}

# ECS itself acts in it, for the tasks; what runs in them has no role.
resource "aws_iam_role" "tasks" {
  name        = "chefcito-${var.environment}-tasks"
  description = "Fetches images and secrets for the tasks of ${var.environment}, and writes their logs"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "tasks" {
  name = "chefcito"
  role = aws_iam_role.tasks.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "ssm:GetParameters"
        Resource = var.secret_arns
      },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
      # Images of a registry of the account; one that anybody may read needs nothing.
      {
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:aws:ecr:*:${var.account_id}:repository/*"
      }
    ]
  })
}
