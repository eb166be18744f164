# What each process may do is in deployments/iam, where the tests hold it to what the code asks for.
locals {
  places = {
    PROCESSED_BUCKET = var.buckets.processed
    RAW_BUCKET       = var.buckets.raw
    REGION           = var.region
    ACCOUNT          = var.account_id
    TABLE            = var.table
  }
  processes = {
    for process in ["api", "origin", "worker"] : process => {
      policy = jsonencode({
        Version = "2012-10-17"
        Statement = [for statement in jsondecode(file("${var.policies}/${process}.json")).Statement : merge(statement, {
          Resource = [for arn in statement.Resource : join(":", [for part in split(":", arn) : join("/", [
            for word in split("/", part) : lookup(local.places, word, word)
          ])])]
        })]
      })
      account = "${var.namespace}:headrace-${process}"
    }
  }
}

data "aws_iam_policy_document" "trust" {
  for_each = merge(
    { for name, process in local.processes : name => process.account },
    { for name, controller in local.controllers : name => controller.account },
  )

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:sub"
      values   = ["system:serviceaccount:${each.value}"]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each           = merge(local.processes, local.controllers)
  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy" "process" {
  for_each = local.processes
  name     = "headrace"
  role     = aws_iam_role.this[each.key].id
  policy   = each.value.policy
}

# Buckets and table are encrypted with a key of ours, which nobody may use but through them.
data "aws_iam_policy_document" "keys" {
  for_each = local.processes

  statement {
    actions   = each.key == "origin" ? ["kms:Decrypt"] : ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com", "dynamodb.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "keys" {
  for_each = local.processes
  name     = "keys"
  role     = aws_iam_role.this[each.key].id
  policy   = data.aws_iam_policy_document.keys[each.key].json
}

resource "aws_iam_role_policy" "controller" {
  for_each = local.controllers
  name     = "controller"
  role     = aws_iam_role.this[each.key].id
  policy   = data.aws_iam_policy_document.controller[each.key].json
}
